"""What a log's own annotations say: risk, tags and map rasters, from tracks, map and ego motion."""
