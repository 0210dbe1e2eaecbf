"""The command line application cxr."""
