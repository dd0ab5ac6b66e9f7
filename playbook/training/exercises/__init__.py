"""One module per chapter; each holds `EXERCISES` (see `playbook.training.exercise`)."""
