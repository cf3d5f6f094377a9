"""`python -m serving`, process 1 of the image: a signal waits from its first moment on."""

from serving.process.signals import hold_signals

if __name__ == "__main__":
    hold_signals()

    from serving.process.start import main  # a quarter of a second

    main()
