#!/bin/bash
# From firewalld to Tortie and back, as docs/from-ufw-firewalld.md says, with packets on the way all the time.
set -eu
cd /try
. ./lib.sh
. ./move.sh

echo "--- firewalld, with the rules of the guide"
scene
promise "firewalld runs" becomes firewall-cmd --state
python3 packets.py serve 10.10.0.1 22 &
for rule in "--change-interface=eth0" "--add-service=ssh --add-service=http --add-service=https" \
    "--add-rich-rule='rule family=ipv4 source address=10.10.0.10 port port=5432 protocol=tcp accept'" \
    "--add-rich-rule='rule family=ipv4 source address=10.10.0.11 drop'"; do
    follow "firewall-cmd --permanent $rule"
done
follow "firewall-cmd --reload"
follow "sudo firewall-cmd --list-all-zones" | grep -A 14 active
watch "firewalld alone"
watched

echo "--- to Tortie"
watch "installing"
cp old.deb tortie.deb
follow "sudo apt install ./tortie.deb"
watched
move "inet table firewalld chain filter_INPUT"
watch "firewalld is switched off"
follow "sudo systemctl disable --now firewalld"
watched
moved
watch "Tortie alone"
watched

echo "--- and back"
watch "back to firewalld"
follow "sudo systemctl enable --now firewalld"
becomes firewall-cmd --state
back
watched
echo "every promise is kept"
