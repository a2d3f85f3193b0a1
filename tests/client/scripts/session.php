<?php
// One request of a web site with a session. Arguments: session id, then what to do:
//   add WORD       appends WORD to the list that the session holds
//   slow WORD      the same, but holds the session for a while first
//   renew          gives the session a new id and deletes the old one; prints the new one
//   destroy        ends the session
// Prints the list, joined by commas, after "list=". The handler comes from -d options.
[, $id, $action] = $argv;
session_id($id);
if (!session_start()) {
    exit(1);
}
if ($action === 'slow') {
    echo "holding\n";
    flush();
    usleep(700000);
}
switch ($action) {
    case 'add':
    case 'slow':
        $_SESSION['list'][] = $argv[3];
        break;
    case 'renew':
        session_regenerate_id(true);
        echo 'id=' . session_id() . "\n";
        break;
    case 'destroy':
        session_destroy();
        break;
}
echo 'list=' . implode(',', $_SESSION['list'] ?? []) . "\n";
