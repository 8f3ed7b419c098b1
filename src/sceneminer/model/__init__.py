"""The scene model: a frozen vision-language tower, a bird's-eye-view trunk, the stream, and heads that read it."""
