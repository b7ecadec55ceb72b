"""Train image segmenters when the labels are wrong, weak or disputed, and see where the labels are wrong."""
