"""Train the networks on usual spine MR slices: python -m training; serving never imports it."""
