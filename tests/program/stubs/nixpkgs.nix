# As much of a package collection as a configuration for the stand-in for Nix needs.
{ }
