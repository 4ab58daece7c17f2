# What cargo-cyclonedx wrote, less the crates that are not in the program, and less what only this machine knows.
#
# $built: Cargo's messages of the build; $folder: what stands in the path of everything compiled for the target;
# $sha256: the program's; $toolchain: what is linked besides crates, as components.

# `<source>#<name>@<version>`, or `<source>/<name>#<version>` where a folder is named as its package.
def purl:
  capture("(?<folder>[^/#]*)#((?<name>[^@#]+)@)?(?<version>[^@#]+)$") | "pkg:cargo/\(.name // .folder)@\(.version)";

# Build scripts and procedural macros are compiled for the machine that builds: they lie elsewhere.
($built | map(select(.reason == "compiler-artifact" and any(.filenames[]; contains($folder))) | .package_id | purl) | unique) as $linked
| .metadata.component.name as $program
| (.metadata.component["bom-ref"] | purl) as $root
| (.components | map({key: .["bom-ref"], value: "pkg:cargo/\(.name)@\(.version)"}) | from_entries) as $known
| ($linked - [$root] - ($known | map(.))) as $missing
| if ($missing | length) > 0 then error("linked, but not known: \($missing | join(", "))") else . end
| .metadata.component |= (
    .["bom-ref"] = $root | .purl = $root | del(.scope, .components) | .hashes = [{alg: "SHA-256", content: $sha256}])
| .components |= (
    map(.purl = $known[.["bom-ref"]] | .["bom-ref"] = .purl | select(.purl as $purl | $linked | index($purl)))
    + $toolchain | sort_by(.purl))
| .dependencies |= (
    map({ref: ($known[.ref] // (.ref | purl)), dependsOn: ((.dependsOn // []) | map($known[.]))})
    | map(select(.ref as $ref | $linked | index($ref)) | .dependsOn |= (map(select(. as $ref | $linked | index($ref))) | sort))
    | sort_by(.ref))
