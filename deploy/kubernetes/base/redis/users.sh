#!/bin/sh
# Makes the users of Redis: users.sh FOLDER writes users.acl (hashes only) and one file per user with its password.
# The secrets mien-redis-acl (users.acl) and mien-redis (ingest, worker, query, replica) are made of them (docs/deploy.md).
# A file that is there is kept, so a second run renews only what was deleted: that is how a password is rotated.
set -eu
folder=$1
umask 077
mkdir -p "$folder"
hash_of() {
  [ -s "$folder/$1" ] || od -An -N32 -tx1 /dev/urandom | tr -d ' \n' >"$folder/$1"
  printf '#%s' "$(sha256sum <"$folder/$1" | cut -d' ' -f1)"
}
{
  echo "user default off"
  echo "user admin on $(hash_of admin) ~* &* +@all"
  echo "user replica on $(hash_of replica) resetkeys resetchannels -@all +psync +replconf +ping"
  # A worker reads and writes our keys, and loads its own functions again where a server lost them.
  echo "user worker on $(hash_of worker) resetkeys ~mien:* resetchannels -@all +@read +@write -@dangerous +@connection +info +time +fcall +function|load +function|list"
  # These two read our keys and can write none.
  echo "user ingest on $(hash_of ingest) resetkeys %R~mien:* resetchannels -@all +@read -@dangerous +@connection +multi +exec"
  echo "user query on $(hash_of query) resetkeys %R~mien:* resetchannels -@all +@read -@dangerous +@connection +multi +exec"
} >"$folder/users.acl"
