"""Draw the windows of an encoder as points of a plane, so that windows that sound alike lie together."""
