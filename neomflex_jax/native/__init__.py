"""Machine code for the host's vector units, written once at run time and called from inside jit."""
