"""The subcommands of ``minicaffe``, one module each."""
