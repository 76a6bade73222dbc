module atomconsole.test/peer

go 1.24
