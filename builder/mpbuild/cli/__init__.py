"""One small module a command: parse, call app, print."""
