"""Make tasks in HEAR format from the recordings of the manifest: planned as data, then rendered and written."""
