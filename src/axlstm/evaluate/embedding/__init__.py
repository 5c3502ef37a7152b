"""Embed tasks with models behind the HEAR API."""
