"""What commands share: words and flags into options, Hydra's commands, messages and exit codes."""
