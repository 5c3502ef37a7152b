"""Train anything in small steps: one frozen configuration, a step, the loop, its state on the disk."""
