"""Look at a fitted surface: pictures, a turntable, and the 3D view of the report."""
