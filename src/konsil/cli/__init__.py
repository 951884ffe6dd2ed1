"""The command `konsil`: a thin coat of one file per verb over the library."""
