"""Takes a command line -> gives an exit code: one thin module per verb, in the order of the pipeline."""
