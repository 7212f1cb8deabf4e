# The value of an environment variable as a path, if it is set and not empty; otherwise the default.
name: default:
let value = builtins.getEnv name; in
if value == "" then default else /. + value
