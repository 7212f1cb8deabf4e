# The part of nixpkgs' library that configurations commonly use.
let
  lists = {
    inherit (builtins) head tail length elem elemAt filter map concatLists concatMap foldl' genList sort isList;
    optional = condition: value: if condition then [ value ] else [ ];
    optionals = condition: values: if condition then values else [ ];
    unique = builtins.foldl' (seen: x: if builtins.elem x seen then seen else seen ++ [ x ]) [ ];
  };

  attrsets = {
    inherit (builtins) attrNames attrValues mapAttrs listToAttrs isAttrs hasAttr intersectAttrs removeAttrs;
    optionalAttrs = condition: set: if condition then set else { };
    genAttrs = names: f: builtins.listToAttrs (map (name: { inherit name; value = f name; }) names);
    nameValuePair = name: value: { inherit name value; };
    mapAttrsToList = f: set: map (name: f name set.${name}) (builtins.attrNames set);
    filterAttrs = keep: set: builtins.listToAttrs (builtins.concatMap
      (name: if keep name set.${name} then [{ inherit name; value = set.${name}; }] else [ ])
      (builtins.attrNames set));
  };

  strings = {
    inherit (builtins) concatStringsSep replaceStrings substring stringLength match toString isString;
    concatStrings = builtins.concatStringsSep "";
    concatMapStringsSep = separator: f: list: builtins.concatStringsSep separator (map f list);
    optionalString = condition: text: if condition then text else "";
    hasPrefix = prefix: text: builtins.substring 0 (builtins.stringLength prefix) text == prefix;
    fileContents = file: builtins.head (builtins.match "(.*[^\n])?\n*" (builtins.readFile file));
  };

  # Which of two packages with the same file is seen in a profile; for what only reads them.
  withPriority = priority: package: package // { meta = package.meta or { } // { inherit priority; }; };
  meta = {
    hiPrio = withPriority (-10);
    lowPrio = withPriority 10;
  };

  modules = import ./modules.nix;

  version = builtins.readFile ../.version;
  suffix = builtins.readFile ../.version-suffix;
in
lists // attrsets // strings // modules // meta // {
  inherit lists attrsets strings modules meta;
  inherit (builtins) isFunction isInt isBool functionArgs pathExists readFile trace seq;
  trivial = { release = version; versionSuffix = suffix; version = version + suffix; };
  version = version + suffix;
}
