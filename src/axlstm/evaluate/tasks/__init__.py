"""Read, check, make and unpack HEAR task folders."""
