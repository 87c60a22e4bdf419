"""What the documentation shows of the package, drawn and written when it is built, into docs/made."""
