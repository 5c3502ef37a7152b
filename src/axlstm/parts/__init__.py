"""Cut work on many recordings into parts that can be done anywhere, in any order, and twice without harm."""
