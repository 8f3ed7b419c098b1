"""What an index refuses, each with one sentence that says what was expected and what was found."""


class IndexFault(ValueError):
    """The index cannot be used as asked."""


class QueryError(IndexFault):
    """A query or filter that is not understood or not allowed; nothing was run."""


class WriterBusyError(IndexFault):
    """Another process is writing to this index."""
