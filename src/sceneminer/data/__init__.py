"""One vocabulary for every data set: Log, Rig, Frame, Track, HdMap, Clip."""
