"""Volume rendering: rays and boxes, occupancy, marching, compositing, whole views."""
