"""`python -m serving`, process 1 of the image: from its first moment on, a signal to end waits."""

from serving.process.signals import hold_signals

if __name__ == "__main__":
    hold_signals()

    from serving.process.start import main  # a quarter of a second

    main()
