# Shared by vcam-vm and its helpers (sourced, bash).

# A source of the module's own makes a tree of its own.
cache=${XDG_CACHE_HOME:-$HOME/.cache}/streamfx/vcam-vm
tree=$cache/system${STREAMFX_VCAM_SOURCE:+-$(basename "$STREAMFX_VCAM_SOURCE")}

# cannot REASON: no such machine can be had here; tests skip on this status.
cannot() {
    printf 'vcam-vm: %s\n' "$1" >&2
    exit 77
}

# Debian 12 ships it with QEMU, later releases as a package of its own.
find_virtiofsd() {
    for path in /usr/libexec/virtiofsd /usr/lib/qemu/virtiofsd; do
        [ ! -x $path ] || { echo $path; return; }
    done
}
