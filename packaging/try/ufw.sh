#!/bin/bash
# From ufw to Tortie and back, as docs/from-ufw-firewalld.md says, with packets on the way all the time.
set -eu
cd /try
. ./lib.sh
. ./move.sh

echo "--- ufw, with the rules of the guide"
scene
for rule in "default deny incoming" "default allow outgoing" "allow OpenSSH" "allow 80,443/tcp" \
    "allow from 10.10.0.10 to any port 5432 proto tcp" "prepend deny from 10.10.0.11"; do
    follow "ufw $rule"
done
ufw --force enable
follow "sudo ufw status numbered"
watch "ufw alone"
watched

echo "--- to Tortie"
watch "installing"
cp old.deb tortie.deb
follow "sudo apt install ./tortie.deb"
watched
move "ip table filter chain INPUT"
watch "ufw is switched off"
follow "sudo iptables -P INPUT ACCEPT; sudo ip6tables -P INPUT ACCEPT"
follow "sudo ufw disable"
watched
moved
watch "Tortie alone"
watched

echo "--- and back"
watch "back to ufw"
follow "sudo ufw enable"
back
watched
echo "every promise is kept"
