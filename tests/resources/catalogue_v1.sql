-- A catalogue as hashgate 0.1.0 (schema version 1) left it, by SQLite's own dump.
BEGIN TRANSACTION;
CREATE TABLE captures (
	table_name VARCHAR NOT NULL,
	sequence INTEGER NOT NULL,
	path VARCHAR NOT NULL,
	partition_key VARCHAR NOT NULL,
	digest VARCHAR NOT NULL,
	size_bytes BIGINT NOT NULL,
	captured_at VARCHAR NOT NULL,
	PRIMARY KEY (table_name, sequence, path)
);
INSERT INTO "captures" VALUES('orders',1,'2020-01-01.csv','2020-01-01','blake3:17762fddd969a453925d65717ac3eea21320b66b54342fde15128d6caf21215f',1,'2020-01-01T12:00:00+00:00');
INSERT INTO "captures" VALUES('orders',2,'2019-12-31 Zürich.csv','2019-12-31','blake3:10e5cf3d3c8a4f9f3468c8cc58eea84892a22fdadbc1acb22410190044c1d553',1,'2020-01-01T12:00:00+00:00');
INSERT INTO "captures" VALUES('orders',3,'2020-01-01.csv','2020-01-01','blake3:ea7aa1fc9efdbe106dbb70369a75e9671fa29d52bd55536711bf197477b8f021',1,'2020-01-01T12:00:00+00:00');
CREATE TABLE files (
	table_name VARCHAR NOT NULL,
	path VARCHAR NOT NULL,
	stamp VARCHAR NOT NULL,
	partition_key VARCHAR,
	problem VARCHAR,
	first_seen VARCHAR NOT NULL,
	last_changed VARCHAR NOT NULL,
	missing_since VARCHAR,
	captured_stamp VARCHAR,
	PRIMARY KEY (table_name, path)
);
INSERT INTO "files" VALUES('orders','2020-01-01.csv','3:1:2:7','2020-01-01',NULL,'2020-01-01T12:00:00+00:00','2020-01-01T12:00:00+00:00',NULL,'3:1:2:7');
INSERT INTO "files" VALUES('orders','2020-01-02.csv','3:1:1:7','2020-01-02',NULL,'2020-01-01T12:00:00+00:00','2020-01-01T12:00:00+00:00',NULL,NULL);
INSERT INTO "files" VALUES('orders','readme.txt','3:1:1:7',NULL,'NO_KEY','2020-01-01T12:00:00+00:00','2020-01-01T12:00:00+00:00',NULL,NULL);
INSERT INTO "files" VALUES('orders','fifo','-',NULL,'NOT_A_FILE','2020-01-01T12:00:00+00:00','2020-01-01T12:00:00+00:00',NULL,NULL);
INSERT INTO "files" VALUES('orders','2019-12-31 Zürich.csv','3:1:1:7','2019-12-31',NULL,'2020-01-01T12:00:00+00:00','2020-01-01T12:00:00+00:00','2020-01-01T12:00:00+00:00',NULL);
CREATE TABLE meta (
	"key" VARCHAR NOT NULL,
	value VARCHAR NOT NULL,
	PRIMARY KEY ("key")
);
INSERT INTO "meta" VALUES('schema_version','1');
CREATE TABLE verified (
	path VARCHAR NOT NULL,
	stamp VARCHAR NOT NULL,
	digest VARCHAR NOT NULL,
	PRIMARY KEY (path)
);
INSERT INTO "verified" VALUES('tables/orders/segments/ab/cd/valid.parquet','9:1:1:3','blake3:fbf7129093429293d558b3993ca13988daba893f4a191bc2b1c1e5b52a0d0172');
CREATE INDEX files_to_capture ON files (table_name, captured_stamp);
CREATE INDEX captures_of_partition ON captures (table_name, partition_key);
CREATE INDEX captures_of_path ON captures (table_name, path, sequence);
COMMIT;
