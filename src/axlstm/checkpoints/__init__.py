"""Read and write weights on the disk or the Hub, without executing anything found in them."""
