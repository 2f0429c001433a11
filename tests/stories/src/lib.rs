//! Stories of the real functions in the modelled AWS: the package is its tests.
