# A tiny module system: imports, options, priorities, conditions, merging. It behaves as the real one
# where a configuration can tell (which values win, what is an error), and is a hundredth of its size.
let
  inherit (builtins) attrNames attrValues concatMap filter foldl' functionArgs head intersectAttrs isAttrs isFunction
    isList isString isPath length listToAttrs mapAttrs removeAttrs;

  # --- properties -------------------------------------------------------------------------------
  mkIf = condition: content: { _type = "if"; inherit condition content; };
  mkMerge = contents: { _type = "merge"; inherit contents; };
  mkOverride = priority: content: { _type = "override"; inherit priority content; };
  mkDefault = mkOverride 1000;
  mkForce = mkOverride 50;
  mkOrder = priority: content: { _type = "order"; inherit priority content; };
  mkBefore = mkOrder 500;
  mkAfter = mkOrder 1500;
  mkOption = attributes: { _type = "option"; } // attributes;
  mkEnableOption = what: mkOption { default = false; type = types.bool; description = what; };

  is = type: value: isAttrs value && value._type or null == type;
  isPlain = value: isAttrs value && !(value ? _type) && !(value ? outPath) && value.type or null != "derivation";

  # --- types: a name and a test; `raw` and `lines` merge differently -----------------------------
  type = name: check: { _type = "type"; inherit name check; };
  types = rec {
    str = type "string" isString;
    lines = str // { join = "\n"; };
    int = type "signed integer" builtins.isInt;
    ints.unsigned = type "unsigned integer" (value: builtins.isInt value && value >= 0);
    ints.between =
      low: high:
      type "integer between ${toString low} and ${toString high} (both inclusive)" (
        value: builtins.isInt value && value >= low && value <= high
      );
    ints.positive = type "positive integer" (value: builtins.isInt value && value > 0);
    port = type "16 bit unsigned integer" (value: builtins.isInt value && value >= 0 && value < 65536);
    bool = type "boolean" builtins.isBool;
    enum = values: type "one of ${toString values}" (value: builtins.elem value values);
    strMatching = pattern: type "string matching ${pattern}" (value: isString value && builtins.match pattern value != null);
    path = type "path" (value: isPath value || isString value || value ? outPath);
    package = type "package" (value: value ? outPath || isString value);
    anything = type "anything" (_: true);
    unspecified = anything;
    attrs = type "attribute set" isAttrs;
    # Of submodules, each value becomes what its module makes of it; all others stay as they are.
    attrsOf = inner: attrs // { each = mapAttrs (inner.evaluated or (_: value: value)); };
    submodule = module: attrs // {
      evaluated = name: value: (evalModules { modules = [ module { config = value; } ]; specialArgs = { inherit name; }; }).config;
    };
    listOf = inner: type "list of ${inner.name}" (value: isList value && builtins.all inner.check value);
    nonEmptyListOf = inner: type "non-empty list of ${inner.name}" (value: value != [ ] && (listOf inner).check value);
    either = one: other: type "${one.name} or ${other.name}" (value: one.check value || other.check value);
    nullOr = inner: type "null or ${inner.name}" (value: value == null || inner.check value);
    # Attributes whose values are kept apart, unmerged: each becomes the list of its definitions.
    rawAttrs = attrs // { raw = true; };
  };

  # --- modules ----------------------------------------------------------------------------------
  # A module is a path, a function or a set; the result is a flat list of { file, options, config }.
  collect = arguments: modules:
    let
      load = file: module:
        if isPath module || isString module then load (toString module) (import module) // { key = toString module; }
        else if isFunction module then load file (module (applicable module))
        else
          let
            where = module._file or file;
            explicit = module ? config || module ? options;
          in
          {
            file = where;
            key = null;
            imports = module.imports or [ ];
            options = module.options or { };
            config =
              if explicit then module.config or { }
              else removeAttrs module [ "imports" "_file" "key" ];
          };
      applicable = f: let wanted = functionArgs f; in
        if wanted == { } then arguments else intersectAttrs wanted arguments;

      go = file: seen: todo:
        if todo == [ ] then { inherit seen; found = [ ]; }
        else
          let
            module = load file (head todo);
            known = module.key != null && builtins.elem module.key seen;
            inner = go module.file (seen ++ (if module.key == null then [ ] else [ module.key ])) module.imports;
            rest = go file (if known then seen else inner.seen) (builtins.tail todo);
          in
          {
            inherit (rest) seen;
            found = (if known then [ ] else [ module ] ++ inner.found) ++ rest.found;
          };
    in
    (go "<unknown-file>" [ ] modules).found;

  # Conditions around a whole set move onto its attributes, so that knowing which options are
  # defined never needs a value of the configuration (or it would define itself).
  push = wrap: value:
    if is "if" value then push (inner: wrap (mkIf value.condition inner)) value.content
    else if is "override" value then push (inner: wrap (mkOverride value.priority inner)) value.content
    else if is "order" value then push (inner: wrap (mkOrder value.priority inner)) value.content
    else if is "merge" value then concatMap (push wrap) value.contents
    else [ (mapAttrs (_: wrap) value) ];

  # What is left of one definition: nothing, or values with their priorities.
  discharge = definition: value:
    if is "if" value then (if value.condition then discharge definition value.content else [ ])
    else if is "merge" value then concatMap (discharge definition) value.contents
    else if is "override" value then
      map (inner: inner // { priority = value.priority; }) (discharge definition value.content)
    else if is "order" value then
      map (inner: inner // { order = value.priority; }) (discharge definition value.content)
    else [{ inherit value; inherit (definition) file; priority = definition.priority or 100; }];

  strongest = definitions:
    let least = foldl' (a: d: if d.priority < a then d.priority else a) 10000 definitions; in
    filter (d: d.priority == least) definitions;

  sorted = builtins.sort (a: b: a.order or 1000 < b.order or 1000);

  show = path: builtins.concatStringsSep "." path;

  names = sets: attrNames (foldl' (a: b: a // b) { } sets);

  merge = raw: path: definitions:
    let
      values = map (d: d.value) definitions;
      first = head values;
      all = test: builtins.all test values;
      below = name: concatMap
        (d: if d.value ? ${name} then [{ inherit (d) file; value = d.value.${name}; }] else [ ])
        definitions;
      attribute = name:
        let live = strongest (concatMap (d: discharge d d.value) (below name)); in
        { inherit name live; };
    in
    if raw then listToAttrs (map (name: { inherit name; value = map (d: d.value) (below name); }) (names values))
    else if all isPlain then
      listToAttrs (concatMap
        (a: if a.live == [ ] then [ ] else [{ inherit (a) name; value = merge false (path ++ [ a.name ]) a.live; }])
        (map attribute (names values)))
    else if all isList then builtins.concatLists values
    else if length values == 1 || all (value: value == first) then first
    else throw "The option `${show path}' has conflicting definition values:${
      builtins.concatStringsSep "" (map (d: "\n- In `${d.file}'") definitions)}";

  evalOption = path: option: definitions:
    let
      live = strongest (concatMap (d: discharge d d.value) definitions
        ++ (if option ? default then [{ value = option.default; file = "the default"; priority = 1500; }] else [ ]));
      # Lists and sets keep nothing of their default once they are defined, as in the real one.
      value =
        if option ? type.join && builtins.all (d: isString d.value) live
        then builtins.concatStringsSep option.type.join (map (d: d.value) (sorted live))
        else merge (option.type.raw or false) path (sorted live);
      check = option.type.check or (_: true);
    in
    if live == [ ] then throw "The option `${show path}' was accessed but has no value defined. Try setting the option."
    else if check value then (option.apply or (x: x)) ((option.type.each or (x: x)) value)
    else throw "A definition for option `${show path}' is not of type `${option.type.name}'.${
      builtins.concatStringsSep "" (map (d: "\n- In `${d.file}'") live)}";

  # The tree of options decides what may be defined.
  evalTree = path: options: definitions:
    let
      flat = concatMap (d: map (value: { inherit (d) file; inherit value; }) (push (x: x) d.value)) definitions;
      below = name: concatMap
        (d: if d.value ? ${name} then [{ inherit (d) file; value = d.value.${name}; }] else [ ])
        flat;
      unknown = filter (d: removeAttrs d.value (attrNames options) != { }) flat;
      stray = head unknown;
      strayName = head (attrNames (removeAttrs stray.value (attrNames options)));
    in
    if unknown != [ ] then
      throw "The option `${show (path ++ [ strayName ])}' does not exist. Definition values:\n- In `${stray.file}'"
    else
      mapAttrs
        (name: option:
          if is "option" option then evalOption (path ++ [ name ]) option (below name)
          else evalTree (path ++ [ name ]) option (below name))
        options;

  mergeOptions = a: b:
    a // mapAttrs (name: value: if a ? ${name} && !(is "option" value) then mergeOptions a.${name} value else value) b;

  evalModules = { modules, specialArgs ? { } }:
    let
      found = collect (specialArgs // { inherit config options; }) modules;
      options = foldl' mergeOptions { } (map (module: module.options) found);
      config = evalTree [ ] options (map (module: { inherit (module) file; value = module.config; }) found);
    in
    { inherit config options; };
in
{
  inherit mkIf mkMerge mkOverride mkDefault mkForce mkOrder mkBefore mkAfter mkOption mkEnableOption types evalModules;
}
