# A package collection, as far as a configuration of the stand-in for Nix needs one.
{ }
