# Types of hot.py for Cython. The .py file is the source; this only adds speed.

cimport cython
