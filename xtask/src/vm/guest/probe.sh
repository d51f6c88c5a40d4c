# What the running agent is to this kernel: what it says it sees, and what the kernel tells of its
# programs and links. Lines that begin with WALLWATCH-VM- are read by console.rs.
folder=$(mktemp -d) || exit
"$WALLWATCH_BIN" record --output "$folder/recording" 2>"$folder/log" &
agent=$!

tries=600
until grep -q sight= "$folder/log" || [ $tries = 0 ]; do
    tries=$((tries - 1))
    sleep 0.1
done
sight=$(grep sight= "$folder/log")
if [ "$sight" ]; then
    echo "WALLWATCH-VM-SIGHT ${sight#*sight=}"
else
    echo "WALLWATCH-VM-WARNING the probe's agent did not start: $(tail -n 1 "$folder/log")"
fi

# One line for each descriptor of a program or a link: `key: value key: value ...`.
for info in /proc/$agent/fdinfo/*; do
    if grep -q -E '^(prog_type|link_type):' "$info"; then
        echo "WALLWATCH-VM-DESCRIPTOR $(tr -s '\t\n' '  ' <"$info")"
    fi
done

kill $agent
wait $agent
rm -r "$folder"
