"""The commands of recbole-decm, one module each."""
