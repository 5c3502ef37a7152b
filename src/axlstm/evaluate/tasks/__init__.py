"""HEAR task folders: read, checked, made and unpacked."""
