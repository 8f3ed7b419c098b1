"""What can be wrong with weights on disk."""


class CheckpointError(ValueError):
    """A tower or model folder that cannot be used; the message says what was expected and what was found."""
