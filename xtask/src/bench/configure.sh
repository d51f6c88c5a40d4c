# configure FOLDER CC: what a script made by autoconf does, without a project. See workload.rs.
PATH=/usr/local/bin:/usr/bin:/bin
LC_ALL=C
export PATH LC_ALL
cd "$1" || exit 1
CC=$2
rm -rf build
mkdir build || exit 1
cd build || exit 1
exec >config.out 5>config.log

as_echo() { printf '%s\n' "$*"; }
as_name() { as_echo "$1" | sed 'y/abcdefghijklmnopqrstuvwxyz/ABCDEFGHIJKLMNOPQRSTUVWXYZ/;s/[^A-Z0-9]/_/g'; }

# Compiles conftest.c, or links it: `try -c`, `try`.
try() {
    rm -f conftest.o conftest.err conftest
    as_echo "$CC $1 conftest.c" >&5
    "$CC" -g -O2 $1 -o conftest.out conftest.c 2>conftest.err
    status=$?
    if test -s conftest.err; then
        grep -v '^ *+' conftest.err >conftest.er1
        cat conftest.er1 >&5
        mv -f conftest.er1 conftest.err
    fi
    as_echo "status = $status" >&5
    return $status
}

# result NAME STATUS: says it, and remembers it in confdefs.h.
result() {
    if test "$2" -eq 0; then
        as_echo "yes"
        cat >>confdefs.h <<_ACEOF
#define HAVE_$(as_name "$1") 1
_ACEOF
    else
        as_echo "no"
        sed 's/^/| /' conftest.c >&5
    fi
    rm -f conftest.err conftest.o conftest.out conftest.c
}

# check_header NAME
check_header() {
    printf 'checking for %s... ' "$1"
    cat confdefs.h - >conftest.c <<_ACEOF
#include <stdio.h>
#include <$1>
_ACEOF
    try -c
    result "$1" $?
}

# check_function NAME
check_function() {
    printf 'checking for %s... ' "$1"
    cat confdefs.h - >conftest.c <<_ACEOF
char $1 (void);
int main (void) { return $1 (); }
_ACEOF
    try
    result "$1" $?
}

# check_type NAME
check_type() {
    printf 'checking for %s... ' "$1"
    cat confdefs.h - >conftest.c <<_ACEOF
#include <sys/types.h>
int main (void) { if (sizeof ($1)) return 0; return 0; }
_ACEOF
    try -c
    result "$1" $?
}

# check_program NAME: along the path, as autoconf does.
check_program() {
    printf 'checking for %s... ' "$1"
    found=no
    saved_ifs=$IFS
    IFS=:
    for folder in $PATH; do
        IFS=$saved_ifs
        if test -f "$folder/$1" && test -x "$folder/$1"; then
            found=$folder/$1
            break
        fi
    done
    IFS=$saved_ifs
    as_echo "$found"
}

cat >confdefs.h <<_ACEOF
#define PACKAGE_NAME "conftest"
#define PACKAGE_VERSION "1.0"
_ACEOF

host=$(uname -m)-$(uname -s | sed 'y/ABCDEFGHIJKLMNOPQRSTUVWXYZ/abcdefghijklmnopqrstuvwxyz/')
as_echo "checking host system type... $host"
srcdir=$(dirname -- ./configure)
me=$(expr "X./configure" : 'X.*/\([^/][^/]*\)$')
as_echo "configuring $me in $srcdir"
for program in gcc g++ ld ar ranlib strip gawk sed grep install mkdir; do
    check_program "$program"
done
as_echo "checking for C compiler version" >&5
"$CC" --version >conftest.err 2>&1
sed 10q conftest.err >&5

for header in stdlib.h string.h strings.h inttypes.h stdint.h unistd.h fcntl.h limits.h locale.h \
    sys/stat.h sys/types.h sys/time.h sys/socket.h sys/param.h netdb.h nosuch.h sys/nosuch.h; do
    check_header "$header"
done
for function in memmove memset strchr strdup strerror select socket nosuch_function; do
    check_function "$function"
done
for type in size_t ssize_t pid_t off_t mode_t nosuch_t; do
    check_type "$type"
done

# config.status: the values go into the files.
cat >Makefile.in <<'_ACEOF'
CC = @CC@
host = @host@
srcdir = @srcdir@
all:
	$(CC) -o hello $(srcdir)/hello.c
_ACEOF
for file in Makefile; do
    sed "s|@CC@|$CC|;s|@host@|$host|;s|@srcdir@|$srcdir|" "$file.in" >conftest.sub
    grep -c @ conftest.sub >/dev/null && exit 1
    mv -f conftest.sub "$file"
done
sed 's/^#define \([A-Z_0-9]*\) .*/\1/' confdefs.h | sort | uniq >conftest.names
cat conftest.names >&5
awk '{ print }' confdefs.h >config.h
rm -f conftest* confdefs.h
grep -q HAVE_STDLIB_H config.h
