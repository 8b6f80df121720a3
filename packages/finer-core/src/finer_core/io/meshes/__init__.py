"""Triangle meshes of any application as they are handed over: without small parts, with fewer faces, in a file."""
