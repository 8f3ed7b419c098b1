"""What leaves an index: pictures of clips and a report in one file."""
