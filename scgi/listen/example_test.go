package listen_test

import (
	"context"
	"fmt"
	"io"
	"os"
	"path/filepath"

	"github.com/windsock-scgi/windsock/scgi/listen"
)

func Example() {
	dir, err := os.MkdirTemp("", "listen")
	if err != nil {
		panic(err)
	}
	defer os.RemoveAll(dir)
	addr := "unix:" + filepath.Join(dir, "app.sock") + "?mode=0660"

	l, err := listen.Listen(context.Background(), addr) // then scgi.Serve(l, handler)
	if err != nil {
		panic(err)
	}
	defer l.Close()
	go func() {
		c, err := l.Accept()
		if err != nil {
			panic(err)
		}
		defer c.Close()
		fmt.Fprint(c, "Status: 200 OK\r\n\r\n")
	}()

	remote, err := listen.ParseRemote(addr)
	if err != nil {
		panic(err)
	}
	c, err := remote.Dial(context.Background())
	if err != nil {
		panic(err)
	}
	defer c.Close()
	answer, err := io.ReadAll(c)
	fmt.Printf("%q %v\n", answer, err)
	// Output: "Status: 200 OK\r\n\r\n" <nil>
}

func ExampleParse() {
	_, err := listen.Parse("tcp:10.0.0.5:4000?allow=10.0.0.5/24")
	fmt.Println(err)
	a, err := listen.Parse("unix:/run/app.sock?group=www-data&mode=660")
	fmt.Println(a, err)
	// Output:
	// listen: tcp:10.0.0.5:4000?allow=10.0.0.5/24: option allow: "10.0.0.5/24" has bits beyond its prefix; write 10.0.0.0/24, or 10.0.0.5 for the one address
	// unix:/run/app.sock?mode=0660&group=www-data <nil>
}
