// Asks gomemcache's ServerList for the node of every key. Reads and writes what make_golden.py says.
package main

import (
	"bufio"
	"fmt"
	"os"
	"strconv"
	"strings"

	"github.com/bradfitz/gomemcache/memcache"
)

var input = bufio.NewReader(os.Stdin)

func line() string {
	text, err := input.ReadString('\n')
	if err != nil {
		panic(err)
	}
	return strings.TrimSuffix(text, "\n")
}

func number() int {
	value, err := strconv.Atoi(line())
	if err != nil {
		panic(err)
	}
	return value
}

func main() {
	keys := make([]string, number())
	for i := range keys {
		keys[i] = line()
	}
	for sets := number(); sets > 0; sets-- {
		addresses := make([]string, number())
		index := map[string]int{}
		for i := range addresses {
			words := strings.Split(line(), " ")
			addresses[i] = words[0] + ":" + words[1]
			index[addresses[i]] = i
		}
		servers := new(memcache.ServerList)
		if err := servers.SetServers(addresses...); err != nil {
			panic(err)
		}
		found := make([]string, len(keys))
		for i, key := range keys {
			address, err := servers.PickServer(key)
			if err != nil {
				panic(err)
			}
			found[i] = strconv.Itoa(index[address.String()])
		}
		fmt.Println(strings.Join(found, " "))
	}
}
