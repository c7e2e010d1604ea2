import { optional, required, secret, section, setting } from "./setting.js";
import { count, flag, oneOf, path, text, word } from "./settingKind.js";

/** The settings of one server; `name` is its key under servers, `connections` its default and least number. */
export function server(
  name: string,
  sentence: string,
  database: string,
  connections: { byDefault: number; min: number },
) {
  return section(sentence, {
    host: setting(word, "127.0.0.1", "Host name or address of the server."),
    port: setting(count(1, 65_535), 3306, "TCP port of the server."),
    socketPath: optional(path, "/run/mysqld/mysqld.sock", "Unix socket to use instead of host and port."),
    user: required(word, "campaignd", "Database user."),
    password: secret(text, "Password of the user; only in a file that nobody else can read, else use passwordFile."),
    passwordFile: optional(
      path,
      `/etc/campaignd/${name}.password`,
      `File that holds the password, readable by its owner alone; without it the systemd credential ${name}.password is used.`,
    ),
    database: setting(word, database, "Name of the database."),
    maxConnections: setting(
      count(connections.min, 20),
      connections.byDefault,
      "Most connections at once; one of them stays unopened until a probe or a KILL needs it.",
    ),
    tls: section("Encryption towards this server.", {
      enabled: setting(flag, false, "Encrypt the connection; a server that cannot is refused."),
      caFile: optional(
        path,
        "/etc/campaignd/ca.pem",
        "PEM file of the authority to trust instead of the system's list.",
      ),
      verify: setting(flag, true, "Check the server's certificate and name."),
      minVersion: setting(oneOf("TLSv1", "TLSv1.1", "TLSv1.2", "TLSv1.3"), "TLSv1.2", "Oldest protocol to accept."),
    }),
  });
}
