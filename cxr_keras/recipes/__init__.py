"""The verbs: the only place where the stages meet."""
