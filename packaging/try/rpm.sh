#!/bin/bash
# What the rpm promises. The system is Debian's, so what it has is told to rpm first: names and libraries of its packages,
# as rpm itself reads them from the files. Nothing is installed with --nodeps.
set -eu
. /try/lib.sh
old=/try/old.rpm new=/try/new.rpm
# Debian's rpm wants to be asked twice.
rpm() { command rpm --force-debian "$@"; }

echo "--- what the system has"
promise "it is not installed before rpm knows what it needs" not rpm -i "$old"
libraries=$(dpkg-query -L libc6 libgcc-s1 | grep -E '\.so\.[0-9]+$' | xargs realpath | sort -u)
{
    printf '%s\n' 'Name: system' 'Version: 1' 'Release: 1' 'Summary: What Debian has' 'License: none'
    for package in systemd nftables; do
        echo "Provides: $package = $(dpkg-query -W -f '${Version}' "$package" | sed 's/-[^-]*$//')"
    done
    # Neither is read from a file: the one is a link, the other is what glibc's own rpm says of itself.
    printf '%s\n' 'Provides: /bin/sh' 'Provides: rtld(GNU_HASH)' '%description' '%{summary}.'
    printf '%s\n' '%install' "cp --parents $(echo $libraries) %{buildroot}" '%files' "$libraries"
} >/try/system.spec
rpmbuild --quiet -bb --define '_topdir /try/rpmbuild' --define '__spec_install_post %{nil}' --define '_build_id_links none' \
    /try/system.spec
rpm -i --justdb /try/rpmbuild/RPMS/*/system-1-1.*.rpm
promise "rpm knows the C library" says "$(rpm -q --provides system)" "libc.so.6(GLIBC_2.34)"

neighbour
serves 22 5432 8055

echo "--- install"
said=$(rpm -i "$old" 2>&1)
promise "all that it needs is there, by its name: $said" test -z "$said"
promise "its files are as they were packed" rpm -V tortie
modes=$(rpm -q --qf '[%{FILEMODES:perms} %{FILEUSERNAME}:%{FILEGROUPNAME} %{FILENAMES}\n]' tortie)
promise "one file may be executed, the rest read, by anybody; root alone may write" test -z \
    "$(printf '%s\n' "$modes" | grep -v -e '^-rwxr-xr-x root:root /usr/bin/tortie$' -e '^-rw-r--r-- root:root ')"
promise "the file of variables is configuration" test "$(rpm -qc tortie)" = /etc/tortie/environment
promise "nothing was started" not systemctl is-active -q tortie-agent
promise "nothing is enforced" not has_table
promise "calicoctl is this program" test "$(readlink -f /usr/bin/calicoctl)" = /usr/bin/tortie
systemctl enable -q tortie-restore
systemctl enable -q --now tortie-agent
enforces
promise "the agent becomes active" systemctl is-active -q tortie-agent
tortie apply -f /usr/share/doc/tortie/examples --wait=60s
promise "what an example denies is denied" not reaches 5432
promise "the rest is open" reaches 8055

echo "--- upgrade"
echo "# a change of the administrator's" >>/etc/tortie/environment
systemctl disable -q tortie-restore
before=$(table) exactly=$(nft --stateless list table inet tortie) former=$(pid)
listen
rpm -U "$new"
promise "it is the newer one" test "$(rpm -q --qf '%{VERSION}' tortie)" = 999.0.0
promise "the agent is active" becomes systemctl is-active -q tortie-agent
promise "it is another process" test "$(pid)" != "$former"
enforces
listened
promise "the rules are the same" test "$(table)" = "$before"
promise "they are not even written again" test "$(nft --stateless list table inet tortie)" = "$exactly"
promise "nothing was taken away meanwhile" not taken_away
promise "what was denied is denied" not reaches 5432
promise "the agent is enabled" systemctl is-enabled -q tortie-agent
promise "what was disabled stays disabled" not systemctl is-enabled -q tortie-restore
promise "the administrator's file is kept" grep -q "a change of the administrator's" /etc/tortie/environment
promise "calicoctl is still there" test "$(readlink -f /usr/bin/calicoctl)" = /usr/bin/tortie

echo "--- downgrade, by dnf"
dnf() { command dnf --quiet --assumeyes --disablerepo='*' --releasever=1 "$@"; }
dnf downgrade "$old"
promise "it is the older one" test "$(rpm -q --qf '%{VERSION}' tortie)" = 0.1.0
enforces
promise "the rules are the same" test "$(table)" = "$before"

echo "--- removal"
rm /etc/alternatives/calicoctl /usr/bin/calicoctl
printf '#!/bin/sh\necho real\n' >/usr/bin/calicoctl
chmod 755 /usr/bin/calicoctl
said=$(rpm -e tortie 2>&1)
echo "$said"
promise "removal says that the rules are gone" says "$said" "removed table inet tortie: this host is open"
promise "and that the store stays" says "$said" "the store in /var/lib/tortie stays"
promise "the rules are gone" not has_table
promise "the port is open again" reaches 5432
promise "the program is gone" test ! -e /usr/bin/tortie
promise "the units are gone" test -z "$(find /usr/lib/systemd/system /etc/systemd/system -name 'tortie*')"
promise "a calicoctl that came later stays" test "$(calicoctl)" = real

echo "--- again, by dnf"
dnf install "$new"
promise "it is installed" test -x /usr/bin/tortie
promise "a calicoctl that is there stays" test "$(calicoctl)" = real
systemctl start tortie-agent
enforces
promise "what the store holds is enforced again" not reaches 5432
dnf remove tortie
promise "the rules are gone" not has_table
promise "the host is open" reaches 5432
echo "every promise is kept"
