"""A procedural town: one scene graph from which cameras, LiDAR, map and annotations are all rendered."""
