"""One file per training method: objective, data and schedule. They end in a checkpoint folder."""
