"""The command line: stdout is data, stderr is diagnostics, exit codes are a contract."""
